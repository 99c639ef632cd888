"""Model files and the device: recognise, convert, keep, load, attach, restore."""
