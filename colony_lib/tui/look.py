"""What the screen looks like: its themes, and where each part stands."""

from __future__ import annotations

from textual.theme import Theme

THEMES = {
    "dark": Theme(
        "dark", primary="#a99bea", foreground="#c8ccd4", background="#15181e", surface="#1b1f27", panel="#1b1f27",
        accent="#a99bea", dark=True,
    ),
    "light": Theme(
        "light", primary="#6546c3", foreground="#2b2f38", background="#fbfbfd", surface="#f1f2f7", panel="#f1f2f7",
        accent="#6546c3", dark=False,
    ),
    "plain": Theme(
        "plain", primary="ansi_default", secondary="ansi_default", warning="ansi_default", error="ansi_default",
        success="ansi_default", accent="ansi_default", foreground="ansi_default", background="ansi_default",
        surface="ansi_default", panel="ansi_default", boost="ansi_default", dark=True, ansi=True,
        variables={"ansi-background": "ansi_default", "ansi-foreground": "ansi_default"},
    ),
}  # fmt: skip
CSS = """
Screen { background: $background; color: $foreground; layout: vertical; }
ContentSwitcher { height: 1fr; }
Tab { height: 1fr; }
Rows { background: $background; scrollbar-color: $foreground 30%; scrollbar-background: $background;
       scrollbar-color-hover: $primary; scrollbar-color-active: $primary; scrollbar-background-hover: $background;
       scrollbar-background-active: $background; }
#runs { width: 38; }
#steps { height: auto; min-height: 3; }
#small { display: none; height: 1fr; }
#chip, #notice { display: none; height: 1; }
#space { height: 1; }
.full #header, .full #tabs, .full Footer, .full #space { display: none; }
.small #small { display: block; }
.small ContentSwitcher, .small #header, .small #tabs, .small Footer, .small #space { display: none; }
ModalScreen { align: center middle; background: $background 60%; }
.box { width: 76; max-width: 96%; height: auto; max-height: 96%; background: $surface; border: round $primary;
       padding: 0 1; }
.page { width: 96%; height: 92%; background: $surface; border: round $primary; padding: 0 1; }
.box Rows, .page Rows, .box Lines, .page Lines { background: $surface; scrollbar-background: $surface; }
.box Input, .page Input { background: $background; border: none; height: 1; margin: 0 0 1 0; }
"""
