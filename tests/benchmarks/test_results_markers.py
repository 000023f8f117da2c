from benchmarks.records import Record
from benchmarks.results.markers import rewrite

RECORDS = {
    "speed": Record(
        "speed", "x", "2026-01-01", "a box", values={"a.ratio": 0.8049, "a.bytes": 2592, "b": None, "c": "WebP"}
    ),
    "broken": Record("broken", "x", "2026-01-01", "a box", not_measured="no data"),
}
TABLES = {"one": lambda found: f"| {found['speed'].values['a.bytes']} |"}


def test_values_are_filled_in_whatever_stood_there() -> None:
    done = rewrite("It is <!--=speed.a.ratio|.2f-->9<!--/--> of <!--=speed.c|-->JPEG<!--/-->.", RECORDS, {}, "d.md")
    assert done.text == "It is <!--=speed.a.ratio|.2f-->0.80<!--/--> of <!--=speed.c|-->WebP<!--/-->."
    assert not done.problems


def test_a_value_may_be_divided() -> None:
    done = rewrite("<!--=speed.a.bytes|.1f/1000--><!--/--> kB", RECORDS, {}, "d.md")
    assert done.text == "<!--=speed.a.bytes|.1f/1000-->2.6<!--/--> kB"


def test_what_was_not_measured_is_said_and_no_old_number_stays() -> None:
    done = rewrite("<!--=speed.b|.1f-->3.0<!--/--> <!--=broken.any|.1f-->4.0<!--/-->", RECORDS, {}, "d.md")
    assert done.text == "<!--=speed.b|.1f-->not measured<!--/--> <!--=broken.any|.1f-->not measured<!--/-->"
    assert not done.problems


def test_names_of_nothing_are_problems_with_file_and_marker() -> None:
    text = "<!--=speed.z|.1f-->3.0<!--/--> <!--=none.z|d-->3<!--/--> <!--=speed.c.d|d--><!--/-->"
    text += "\n<!--table two-->\n<!--/table-->"
    done = rewrite(text, RECORDS, TABLES, "d.md")
    assert len(done.problems) == 4
    assert all(problem.startswith("d.md: <!--") for problem in done.problems)
    assert "3" not in done.text


def test_tables_are_filled_in_and_filling_again_changes_nothing() -> None:
    once = rewrite("# A\n\n<!--table one-->\n\nold\n\n<!--/table-->\n\nend", RECORDS, TABLES, "d.md").text
    assert once == "# A\n\n<!--table one-->\n\n| 2592 |\n\n<!--/table-->\n\nend"
    assert rewrite(once, RECORDS, TABLES, "d.md").text == once


def test_markers_in_one_line_do_not_swallow_each_other() -> None:
    text = "<!--=speed.a.bytes|,d-->1<!--/--> kept <!--=speed.a.bytes|d-->1<!--/-->"
    done = rewrite(text, RECORDS, {}, "d.md")
    assert done.text == "<!--=speed.a.bytes|,d-->2,592<!--/--> kept <!--=speed.a.bytes|d-->2592<!--/-->"
