"""What stands in a schema under a name."""

from psycopg import sql


class InSchema:
    """For dataclasses with the fields ``schema`` and ``name``: a table, a sequence, a file of a partition."""

    schema: str
    name: str

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"
