from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.camera_views import Region, RegionError

REGIONS = st.builds(
    Region, st.integers(0, 50), st.integers(0, 50), st.integers(1, 50), st.integers(1, 50)
)


@given(REGIONS)
def test_a_region_reads_as_it_is_written(region):
    assert Region.parse(str(region)) == region
    assert Region.parse(str(region).replace(",", " , ")) == region


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "", "1.5,2,3,4"])
def test_what_is_no_region_is_refused(text):
    with pytest.raises(RegionError, match="four integers"):
        Region.parse(text)


@pytest.mark.parametrize("text", ["-1,0,3,4", "0,-1,3,4", "0,0,0,4", "0,0,3,0"])
def test_a_region_has_pixels_and_begins_within_the_image(text):
    with pytest.raises(RegionError, match="at least"):
        Region.parse(text)


def test_what_reaches_beyond_the_image_is_cut_off():
    assert Region(100, 50, 9999, 9999).within((640, 480)) == Region(100, 50, 540, 430)
    assert Region(100, 50, 20, 30).within((640, 480)) == Region(100, 50, 20, 30)


@pytest.mark.parametrize("region", [Region(640, 0, 1, 1), Region(0, 480, 1, 1)])
def test_a_region_outside_the_image_is_refused_with_both_sizes(region):
    with pytest.raises(RegionError, match=f"{region} .* outside the image of 640x480"):
        region.within((640, 480))


@given(REGIONS, st.sampled_from([1, 2, 4, 8]))
def test_a_reduced_region_is_the_smallest_that_holds_all_of_it(region, reduction):
    reduced = region.reduced(reduction)
    for low, size, whole_low, whole_high in (
        (reduced.x, reduced.width, region.x, region.right),
        (reduced.y, reduced.height, region.y, region.bottom),
    ):
        assert low * reduction <= whole_low < (low + 1) * reduction
        assert (low + size - 1) * reduction < whole_high <= (low + size) * reduction


@given(REGIONS, st.sampled_from([1, 2]), st.sampled_from([1, 2]))
def test_an_aligned_region_is_the_smallest_that_holds_all_of_it(region, columns, rows):
    aligned = region.aligned(columns, rows)
    assert (aligned.x % columns, aligned.right % columns) == (0, 0)
    assert (aligned.y % rows, aligned.bottom % rows) == (0, 0)
    assert 0 <= region.x - aligned.x < columns
    assert 0 <= region.y - aligned.y < rows
    assert 0 <= aligned.right - region.right < columns
    assert 0 <= aligned.bottom - region.bottom < rows
