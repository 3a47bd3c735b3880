"""Flags of the pages that commands write."""

from absl import flags

PRIVATE_DETAILS = flags.DEFINE_boolean(
  'private_details',
  False,
  'Write a second page beside report.html (or compare.html), with _private in'
  ' its name: speakers by name, what they said, paths. Keep it as you keep the'
  ' recordings.',
)
