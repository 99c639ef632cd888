"""``python -m dreamgui``."""

import sys

from dreamgui.cli import main

if __name__ == "__main__":
    sys.exit(main())
