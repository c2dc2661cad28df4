"""The Transformer of the tensorflow.org tutorial, as a library.

The public names are listed in ``__init__.pyi``, grouped as the tutorial introduces them. Each is
imported when it is first used, so that TensorFlow starts only once it is needed.
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("keras_transformer")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
