"""Password hashing for tests."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    """The product's own hashing with one round instead of a million; any process of the product can check it."""

    iterations = 1
