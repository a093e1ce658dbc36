"""Exit 0 when a table of DATABASE_URL holds rows, 1 when it is empty.    python has_rows.py TABLE

Run by the Python of an application's virtual environment, which has psycopg.
"""

import sys

import psycopg
from home import need
from psycopg import sql

with psycopg.connect(need("DATABASE_URL"), connect_timeout=10) as connection:
    found = connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(sys.argv[1]))).fetchone()
sys.exit(0 if found else 1)
