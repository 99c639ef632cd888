"""ControlNets from elsewhere: single files in either layout, folders, and where they come from."""
