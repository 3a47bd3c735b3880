"""Writes numbers of things for people."""


def text(number: int, noun: str) -> str:
  """Writes a number and its noun, such as `1 round` or `12,800 rounds`.

  Args:
    number: Number of things.
    noun: Singular of a noun whose plural ends in -s.
  """
  return f'{number:,} {noun}' + 's' * (number != 1)
