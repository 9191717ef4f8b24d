"""The API's resources, one module each; every module holds a tuple ``OPERATIONS``."""
