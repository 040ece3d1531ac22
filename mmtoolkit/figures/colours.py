"""Colours and resolution of all figures."""

INK, SOFT = "#1c2330", "#5d6878"
GIVEN, DATA = "#1f5fa8", "#b9c2cd"
CURVES = ("#1f5fa8", "#c4502b", "#18794e", "#8a4fa3", "#b0860b", "#3b7f8c", "#a83262", "#5d6878")
# For up to ten groups: Tableau's colours, with ink in place of their grey.
GROUPS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#9c755f", "#ff9da7", "#1c2330")
DPI = 130
