"""Several logical devices stand in for several GPUs."""

from tff_asr.executors import devices

devices.select('cpu:0,cpu:3')
