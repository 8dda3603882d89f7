"""Failure kinds of the format. Spec: format-spec/README.md."""


class ReadError(Exception):
    """A reader's refusal; `str()` says what and why."""


class FormatError(ReadError):
    """The bytes break the numbered rule."""

    def __init__(self, rule, what):
        super().__init__(f"format error {rule}: {what}")
        self.rule = rule
        self.what = what


class AuthError(ReadError):
    """A tag, commitment, signature or hash does not agree."""

    def __init__(self, what):
        super().__init__(f"auth error: {what}")


class WrongKey(AuthError):
    """The secret is not the one of the slot; no sign of damage."""


class LimitError(ReadError):
    """The bytes may be right, but a bound of this reader is exceeded."""

    def __init__(self, what):
        super().__init__(f"limit error: {what}")


class Missing(ReadError):
    """A listed object is not there."""


class NoKey(ReadError):
    """The slot lacks the key that is needed; no sign of damage."""


class Refused(ReadError):
    """The reader cannot do what was asked, for a reason outside the stored bytes."""


class NoRepository(ReadError):
    """There is no repository at the place."""
