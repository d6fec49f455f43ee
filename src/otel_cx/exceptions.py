"""What the SDK raises, and only at start: at import, decoration, `configure` and `install`. Never while a request runs.

```
CXError
├── ConfigurationError (ValueError)    the operator or developer corrects a setting
│   └── InvalidName                    the developer corrects a name in the code
└── MissingDependency (ImportError)    the operator installs a package
```
"""


class CXError(Exception):
    """Base of everything this distribution raises."""


class ConfigurationError(CXError, ValueError):
    """A setting cannot be used; the message shows the value and the cure."""


class InvalidName(ConfigurationError):  # noqa: N818 - the cause is the name, as in KeyError's family
    """A journey, step or static value breaks the wire vocabulary's rule for names."""


class MissingDependency(CXError, ImportError):  # noqa: N818 - as above
    """An optional library is not installed; the message ends with the pip command."""
