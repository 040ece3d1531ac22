"""What all figures are drawn with."""

INK, SOFT = "#1c2330", "#5d6878"
GIVEN, DATA = "#1f5fa8", "#b9c2cd"
CURVES = ("#1f5fa8", "#c4502b", "#18794e", "#8a4fa3", "#b0860b", "#3b7f8c", "#a83262", "#5d6878")
DPI = 130
