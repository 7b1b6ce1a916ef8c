"""The fault campaign (`make chaos`): real builds, really killed and damaged, compared byte by byte with a quiet one."""
