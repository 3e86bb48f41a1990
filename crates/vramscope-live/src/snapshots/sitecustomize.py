"""Brings vramscope's hook into every Python process of an engine, and then loads whatever module of this name it hides.

Python imports a module of this name when it starts, from the first folder of its path that has one; PYTHONPATH makes this
folder the first. Nothing more happens before the program imports torch itself: then `vramscope_snapshot.py`, beside this
file, is told. Whatever fails here is not the engine's matter: it goes on all the same.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Finder:
    """Finds torch as Python would, and has the hook told when it has been imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "torch":
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = None if finder is self or find is None else find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "create_module") and hasattr(spec.loader, "exec_module"):
                    spec.loader = Loader(spec.loader, self)
                return spec
        return None


class Loader:
    """Loads torch by its own loader, and leaves no trace of itself in the module."""

    def __init__(self, own, finder):
        self.own = own
        self.finder = finder

    def __getattr__(self, name):
        # A copy asks before there is anything to ask.
        if name == "own" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.own, name)

    def create_module(self, spec):
        return self.own.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.own
        self.own.exec_module(module)
        try:
            sys.meta_path.remove(self.finder)
            tell(module)
        except Exception:  # The hook writes down itself what fails in it.
            pass


def tell(torch):
    """Loads the hook, from beside this file whatever the program has made of its path, and hands torch to it."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("vramscope_snapshot", os.path.join(HERE, "vramscope_snapshot.py"))
    hook = importlib.util.module_from_spec(spec)
    sys.modules["vramscope_snapshot"] = hook
    spec.loader.exec_module(hook)
    hook.begin(torch)


def load_the_hidden_one():
    import importlib.machinery
    import importlib.util

    others = [folder for folder in sys.path if os.path.abspath(folder or os.curdir) != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    # What it raises, Python tells as it does of any module of this name.
    spec.loader.exec_module(module)


if "torch" not in sys.modules:
    sys.meta_path.insert(0, Finder())
load_the_hidden_one()
