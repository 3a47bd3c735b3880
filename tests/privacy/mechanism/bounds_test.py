import math

from hypothesis import given
from hypothesis import strategies as st
import pytest

from tff_asr.privacy.mechanism import bounds

SIZES = st.lists(st.integers(1, 10**9), min_size=1, max_size=300)


@pytest.mark.parametrize('name', bounds.BY_RULE)
@given(SIZES, st.floats(1e-6, 1e3))
def test_the_bounds_add_up_to_the_total(name, sizes, clip_norm):
  layers = bounds.BY_RULE[name](clip_norm, sizes)
  assert len(layers) == len(sizes)
  total = math.sqrt(math.fsum(c * c for c in layers))
  assert total == pytest.approx(clip_norm, rel=1e-12)


def test_the_papers_model():
  """Figures for C = 0.01 and the 296 tensors of the 255.8 M base model."""
  width, mlp, mel, kernel, vocabulary = 768, 3072, 80, 7, 30
  block = [width * 3 * width, width * width, width * mlp, mlp * width]
  sizes = 36 * (block + 4 * [width])
  sizes += [kernel * mel * 2 * width, 2 * width, 1, 1, width, width]
  sizes += [width * vocabulary, vocabulary]
  assert (len(sizes), sum(sizes)) == (296, 255_800_864)
  assert bounds.uniform(0.01, sizes)[0] == pytest.approx(5.812e-4, rel=1e-3)
  by_size = dict(zip(sizes, bounds.dim(0.01, sizes), strict=True))
  for size, bound in [
    (width * mlp, 9.604e-4),
    (3 * width * width, 8.317e-4),
    (width * width, 4.802e-4),
    (kernel * mel * 2 * width, 5.799e-4),
    (width, 1.733e-5),
    (width * vocabulary, 9.491e-5),
    (1, 6.25e-7),
  ]:
    assert by_size[size] == pytest.approx(bound, rel=1e-3)
