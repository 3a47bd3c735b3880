"""Flags of the HTML pages that commands write."""

from absl import flags

PRIVATE_DETAILS = flags.DEFINE_boolean(
  'private_details',
  False,
  'Write a second page beside report.html (or compare.html), with _private in'
  ' its name: names of speakers, transcripts and paths. Protect this page like'
  ' the recordings.',
)
