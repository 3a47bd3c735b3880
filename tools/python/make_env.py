#!/usr/bin/env python3
"""Builds the project's Python environment from the hash-pinned lock file.

Used by the `python_env` repository rule (python_env.bzl) and usable by hand:

    python3 tools/python/make_env.py --dest .venv

Only the standard library is used, and any Python 3.7+ can run it.  The
environment itself always runs the Python version the lock was resolved for.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON_ENV_VAR = 'TFF_ASR_PYTHON'  # An explicit interpreter to build on.
INSTALLER_ENV_VAR = 'TFF_ASR_INSTALLER'  # "uv", "pip" or "auto" (default).


def log(message):
  """Says on standard error what is being done."""
  print('[python_env] ' + message, file=sys.stderr, flush=True)


def run(args, **kwargs):
  """Runs a program, outside any virtual environment of the caller's."""
  env = dict(os.environ)
  # A caller's virtual environment or import path must not leak in.
  for name in (
    'VIRTUAL_ENV',
    'PYTHONPATH',
    'PYTHONHOME',
    '__PYVENV_LAUNCHER__',
  ):
    env.pop(name, None)
  return subprocess.run(args, env=env, check=True, **kwargs)


def probe(executable):
  """Returns ("3.11", "/real/base/python") for an interpreter, or None."""
  code = (
    "import sys, json; print(json.dumps(['%d.%d' % sys.version_info[:2],"
    " getattr(sys, '_base_executable', None) or sys.executable]))"
  )
  try:
    out = run(
      [executable, '-I', '-c', code],
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      timeout=60,
    ).stdout
    version, base = json.loads(out)
    return version, base
  except (OSError, ValueError, subprocess.SubprocessError):
    return None


def find_python(version):
  """Finds a base interpreter of the wanted version, or returns None."""
  explicit = os.environ.get(PYTHON_ENV_VAR)
  candidates = (
    [explicit] if explicit else ['python' + version, 'python3', 'python']
  )
  if not explicit:
    pyenv = os.path.join(
      os.environ.get('PYENV_ROOT', os.path.expanduser('~/.pyenv')), 'versions'
    )
    if os.path.isdir(pyenv):
      candidates += [
        os.path.join(pyenv, name, 'bin', 'python' + version)
        for name in sorted(os.listdir(pyenv), reverse=True)
        if name.startswith(version + '.')
      ]
    candidates.append('/usr/bin/python' + version)
  for candidate in candidates:
    path = shutil.which(candidate)
    found = probe(path) if path else None
    if found and found[0] == version:
      return found[1]
  if explicit:
    raise SystemExit(f'{PYTHON_ENV_VAR}={explicit} is not a Python {version}')
  return None


def find_uv(scratch):
  """Returns a uv executable: the one on PATH, or the pinned one from PyPI."""
  uv = shutil.which('uv')
  if uv:
    return uv
  bootstrap = os.path.join(scratch, 'uv')
  log('installing the pinned uv from PyPI')
  try:
    run(
      [sys.executable, '-m', 'venv', bootstrap],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    python = os.path.join(bootstrap, 'bin', 'python')
  except (OSError, subprocess.CalledProcessError):
    # Debian without python3-venv: any pip that is around will do.
    shutil.rmtree(bootstrap, ignore_errors=True)
    python = sys.executable
  target = [] if python != sys.executable else ['--target', bootstrap]
  try:
    pip_install(python, os.path.join(HERE, 'uv_lock.txt'), *target)
  except (OSError, subprocess.CalledProcessError):
    return None
  return os.path.join(bootstrap, 'bin', 'uv')


def pip_install(python, lock, *options):
  """Installs exactly what a hash-pinned lock says."""
  command = [python, '-m', 'pip', 'install', '--quiet', '--no-deps']
  command += ['--disable-pip-version-check', '--require-hashes', '-r', lock]
  run([*command, *options], stdout=sys.stderr)


def digest(paths, *extra):
  """Returns a name for the content of files and strings."""
  sha = hashlib.sha256()
  for path in paths:
    with open(path, 'rb') as f:
      sha.update(f.read())
  for item in extra:
    sha.update(item.encode() + b'\0')
  return sha.hexdigest()[:16]


def create(dest, lock, version, installer):
  """Makes the environment anew; returns its interpreter."""
  scratch = dest + '.tmp'
  shutil.rmtree(scratch, ignore_errors=True)
  shutil.rmtree(dest, ignore_errors=True)
  os.makedirs(scratch)
  base = find_python(version)
  uv = find_uv(scratch) if installer != 'pip' else None
  if installer == 'uv' and not uv:
    raise SystemExit('uv is neither on PATH nor installable with pip.')
  if not base:
    log(
      'no Python {} found ({} can point at one){}'.format(
        version, PYTHON_ENV_VAR, '; uv is to download it' if uv else ''
      )
    )
    if not uv:
      raise SystemExit(1)
  python = os.path.join(dest, 'bin', 'python')
  if uv:
    log(
      'creating the environment with uv on %s'
      % (base or 'a uv-managed Python ' + version)
    )
    run(
      [uv, 'venv', '--quiet', '--python', base or version, dest],
      stdout=sys.stderr,
    )
    run(
      [
        uv,
        'pip',
        'install',
        '--quiet',
        '--python',
        python,
        '--no-deps',
        '--require-hashes',
        '--compile-bytecode',
        '-r',
        lock,
      ],
      stdout=sys.stderr,
    )
  else:
    log(f'creating the environment with pip on {base}')
    run([base, '-m', 'venv', dest], stdout=sys.stderr)
    pip_install(python, lock)
  shutil.rmtree(scratch, ignore_errors=True)
  return python


def main():
  """Makes the environment and prints its interpreter and packages."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument(
    '--dest', required=True, help='directory of the environment'
  )
  parser.add_argument(
    '--keyed',
    action='store_true',
    help='make DEST/<digest of lock and interpreter> instead of DEST',
  )
  parser.add_argument(
    '--lock', default=os.path.join(HERE, 'requirements_lock.txt')
  )
  parser.add_argument('--python-version', default='3.11')
  parser.add_argument(
    '--installer',
    choices=('auto', 'uv', 'pip'),
    default=os.environ.get(INSTALLER_ENV_VAR) or 'auto',
  )
  args = parser.parse_args()
  dest = os.path.abspath(args.dest)
  if args.keyed:
    dest = os.path.join(
      dest, digest([args.lock], find_python(args.python_version) or 'managed')
    )
  python = create(
    dest, os.path.abspath(args.lock), args.python_version, args.installer
  )
  purelib = (
    run(
      [
        python,
        '-I',
        '-c',
        "import sysconfig; print(sysconfig.get_paths()['purelib'])",
      ],
      stdout=subprocess.PIPE,
    )
    .stdout.decode()
    .strip()
  )
  print(python)
  print(purelib)


if __name__ == '__main__':
  try:
    main()
  except subprocess.CalledProcessError as error:
    raise SystemExit(
      '[python_env] failed: ' + ' '.join(map(str, error.cmd))
    ) from error
