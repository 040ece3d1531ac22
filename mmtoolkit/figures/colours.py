"""What all figures are drawn with."""

INK, SOFT = "#1c2330", "#5d6878"
GIVEN, DATA = "#1f5fa8", "#b9c2cd"
CURVES = ("#1f5fa8", "#c4502b", "#18794e", "#8a4fa3", "#b0860b", "#3b7f8c", "#a83262", "#5d6878")
# Up to ten groups that are told apart: those of Tableau, their grey replaced.
GROUPS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#9c755f", "#ff9da7", "#1c2330")
DPI = 130
