"""Look of the page: system fonts (nothing is loaded from the network), warm greys, one accent colour."""

from __future__ import annotations

from pathlib import Path

from gradio.themes.base import Base
from gradio.themes.utils import colors, sizes
from gradio.themes.utils.colors import Color

PINE = Color(
    name="pine",
    c50="#eef7f4",
    c100="#d5ebe4",
    c200="#aed7cb",
    c300="#7fbeae",
    c400="#4fa292",
    c500="#2b8676",
    c600="#1c6d60",
    c700="#18584e",
    c800="#164740",
    c900="#133b36",
    c950="#0a2320",
)
FONTS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Liberation Sans",
    "sans-serif",
)
MONO_FONTS = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "Liberation Mono", "monospace")
_CSS, *_SCRIPTS = (Path(__file__).with_name(name) for name in ("style.css", "fields.js", "page.js"))


def head() -> str:
    """Return styles and scripts for the page's head."""
    scripts = "".join(f"<script>{path.read_text(encoding='utf-8')}</script>" for path in _SCRIPTS)
    return f"<style>{_CSS.read_text(encoding='utf-8')}</style>{scripts}"


def theme() -> Base:
    """Return gradio's plain theme in our colours."""
    base = Base(
        primary_hue=PINE,
        secondary_hue=PINE,
        neutral_hue=colors.stone,
        font=FONTS,
        font_mono=MONO_FONTS,
        radius_size=sizes.radius_md,
        spacing_size=sizes.spacing_md,
        text_size=sizes.text_md,
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_shadow="none",
        block_title_text_weight="500",
        block_title_text_size="*text_sm",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_300",
        block_label_text_size="*text_sm",
        block_label_background_fill="*block_background_fill",
        block_label_background_fill_dark="*block_background_fill",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_400",
        block_info_text_size="*text_xs",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_800",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_200",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_500",
        input_border_width="1px",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        button_large_text_weight="600",
        button_large_text_size="*text_md",
        button_large_padding="10px 16px",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        checkbox_border_color_selected="*primary_600",
        checkbox_label_background_fill="*neutral_50",
        checkbox_label_background_fill_dark="*neutral_950",
        checkbox_label_background_fill_selected="*primary_50",
        checkbox_label_background_fill_selected_dark="*primary_950",
        checkbox_label_border_color_selected="*primary_400",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        color_accent_soft="*primary_50",
        color_accent_soft_dark="*primary_950",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )
