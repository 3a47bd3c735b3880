"""A small grammar of spoken commands: the texts of synthetic speakers.

Each speaker has their own taste in topics, so the texts of clients differ as
the texts of users do.
"""

import random

_WORDS = {
  'number': 'two three four five six seven eight nine ten'.split(),
  'minutes': 'ten twenty thirty forty'.split(),
  'room': 'kitchen bedroom hall garden'.split(),
  'person': 'anna peter maria john'.split(),
  'day': 'monday tuesday wednesday friday saturday sunday'.split(),
  'thing': 'lights heating radio'.split(),
  'state': 'on off'.split(),
  'food': 'milk bread apples rice coffee'.split(),
  'music': 'jazz rock news'.split(),
  'city': 'london paris rome boston'.split(),
}
TOPICS: dict[str, tuple[str, ...]] = {
  'house': (
    'turn the {room} {thing} {state}',
    'turn {state} the {thing} in the {room}',
    'set the {room} heating to {minutes}',
  ),
  'calls': (
    'call {person}',
    'call {person} at {number} {minutes}',
    'send {person} a message on {day}',
  ),
  'time': (
    'set a timer for {minutes} minutes',
    'wake me at {number} {minutes} on {day}',
    'set an alarm for {number} {minutes}',
  ),
  'shopping': (
    'buy {number} {food} and {food}',
    'put {food} on the list',
    'buy {food} on {day}',
  ),
  'travel': (
    'what is the weather in {city} on {day}',
    'find a train to {city} at {number} {minutes}',
    'take me to {city}',
  ),
  'music': (
    'play {music} in the {room}',
    'play {music} for {minutes} minutes',
    'stop the {music}',
  ),
}


def sentence(rng: random.Random, topic: str) -> str:
  """Returns a sentence of a topic in lower case, letters and spaces only."""
  template = rng.choice(TOPICS[topic])
  words = []
  for word in template.split():
    if word.startswith('{'):
      word = rng.choice(_WORDS[word.strip('{}')])
    words.append(word)
  return ' '.join(words)


def topic_weights(rng: random.Random, concentration: float) -> list[float]:
  """Draws a speaker's taste in topics from a Dirichlet distribution.

  Args:
    rng: Source of random numbers.
    concentration: Concentration of the distribution.  With a low one each
      speaker has few topics; with a high one all speakers are alike.
  """
  draws = [rng.gammavariate(concentration, 1.0) for _ in TOPICS]
  total = sum(draws) or 1.0
  return [draw / total for draw in draws]
