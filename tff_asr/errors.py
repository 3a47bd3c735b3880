"""What is said to a user who gave something that cannot be used."""


class UserError(ValueError):
  """Bad input: the message says what, where and what to do, in one line.

  Commands print it without a traceback and end with exit code 1.
  """
