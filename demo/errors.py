"""What can go wrong in the demo.

DemoError             one sentence for the person at the terminal: what failed and how to mend it
├── ServerError       a process did not start, did not answer, or stopped by itself
├── SampleError       the sample data is missing, or not what it should be
└── WrongAnswer       the service answered, but not as promised
"""


class DemoError(Exception):
    """Shown to the user as it is, without a stack trace."""


class ServerError(DemoError):
    """A process of the demo did not start, did not answer in time, or stopped by itself."""


class SampleError(DemoError):
    """The sample data is not there, or is not what it should be."""


class WrongAnswer(DemoError):
    """The service's answer is not what it promises; its logs say more."""
