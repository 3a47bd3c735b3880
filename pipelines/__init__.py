"""Commands: flags in, one call into `tff_asr`, a readable result out."""
