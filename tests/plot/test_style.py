"""Colours are told apart, and text and marks stand out from their ground, as WCAG 2.2 measures it."""

import itertools

import pytest

from simfabric.plot.style import THEMES, PictureError, contrast, ink_on, theme_of

TEXTS = ("text", "muted", "fault")


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01), "the grey that just fails"
    assert contrast("#0072b2", "#0072b2") == 1.0


@pytest.mark.parametrize("name", THEMES)
def test_text_has_a_contrast_of_4_5_and_marks_have_3(name):
    theme = theme_of(name)
    assert all(contrast(theme.colours()[text], theme.ground) >= 4.5 for text in TEXTS)
    assert all(contrast(colour, theme.ground) >= 3.0 for colour in theme.series)


@pytest.mark.parametrize("name", THEMES)
def test_all_colours_of_a_theme_differ_so_that_a_report_can_swap_them(name):
    colours = [*theme_of(name).colours().values(), "#000000", "#ffffff"]
    assert len(set(colours)) == len(colours)


def seen_by(colour, matrix):
    """A colour as linear red, green and blue after a loss of one kind of cone (Viénot, Brettel & Mollon 1999)."""
    linear = [(int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
    return [max(0.0, sum(weight * part for weight, part in zip(row, linear))) ** (1 / 2.2) for row in matrix]


LOSSES = {
    "protan": ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
    "deutan": ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
}


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_first_three_colours_are_told_apart_by_the_colour_blind(name, loss):
    """They are also told apart by dashes; no picture draws more than three lines in a panel that differ in colour alone."""
    seen = [seen_by(colour, LOSSES[loss]) for colour in theme_of(name).series[:3]]
    for one, other in itertools.combinations(seen, 2):
        assert sum((a - b) ** 2 for a, b in zip(one, other)) ** 0.5 > 0.12


def test_ink_reads_on_every_amount():
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    fills = [to_hex(colormaps["cividis"](i / 50)) for i in range(51)]
    assert min(contrast(ink_on(fill), fill) for fill in fills) >= 4.5


def test_a_theme_that_there_is_not_is_told():
    with pytest.raises(PictureError, match="did you mean 'dark'"):
        theme_of("drak")
