"""As many descriptors as connections need, and no more connections than there are descriptors."""

import dataclasses

from keras_transformer.errors import InputError
from keras_transformer.serving.settings import Settings

_OTHERS = 256  # descriptors for the model's files, threads, listeners and health

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None


def fit_to_descriptors(settings: Settings) -> Settings:
    """The settings, with fewer connections where the system does not allow for so many.

    The limit of the process is raised as far as it may be. Each interface has half of it.

    Raises:
        InputError: when it leaves next to nothing.
    """
    if resource is None:
        return settings
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    interfaces = 1 if settings.grpc_port is None else 2
    wanted = interfaces * settings.max_connections + _OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if limit > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (OSError, ValueError):  # macOS has a limit that it does not tell
            limit = soft
    most = (max(limit, soft) - _OTHERS) // interfaces
    if most >= settings.max_connections:
        return settings
    if most < 1:
        raise InputError(f"{limit} descriptors are too few: raise ulimit -n to {wanted}.")
    each = min(settings.max_connections_per_address, max(1, most // 2))
    return dataclasses.replace(settings, max_connections=most, max_connections_per_address=each)
