"""Ledgers of version 1, by hand: the release that wrote them is gone."""

import hashlib
import json
import uuid


def begin(path, plan, relation='ADD_OR_REMOVE_ONE'):
  """Writes the first line."""
  path.write_text('')
  name = str(uuid.uuid4())
  add(path, {'ledger': 1, 'name': name, 'relation': relation, 'plan': plan})


def add(path, record):
  """Adds a line."""
  lines = path.read_text().splitlines()
  before = json.loads(lines[-1])['hash'] if lines else ''
  content = json.dumps(record, sort_keys=True)
  digest = hashlib.sha256((before + content).encode()).hexdigest()
  line = json.dumps({**json.loads(content), 'hash': digest})
  path.write_text('\n'.join([*lines, line]) + '\n')


def tell(path, name, head, releases):
  """Adds what another ledger had released when its last line had a hash."""
  add(path, {'prior': name, 'head': head, 'releases': releases})


def rewrite(path):
  """Makes a ledger without priors one of version 1."""
  records = [json.loads(line) for line in path.read_text().splitlines()]
  assert not any('prior' in record for record in records)
  path.write_text('')
  for record in records:
    del record['hash']
    add(path, record | ({'ledger': 1} if 'ledger' in record else {}))
