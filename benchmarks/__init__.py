"""Measurements. As in the app, dreamgui is imported before torch: it sets what libraries read once."""

import dreamgui as dreamgui
