-- Who may log in, and which database is whose. Passwords come from files and stand on no command line.
\set airflow_password `cat /secrets/postgres/airflow-password`
\set gate_admin_password `cat /secrets/postgres/gate-admin-password`
\set gate_password `cat /secrets/postgres/gate-password`
\set marquez_password `cat /secrets/postgres/marquez-password`

CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE DATABASE airflow OWNER airflow;

-- gate_admin owns the ledger's tables and is used by gate-init alone; the service may append, never change.
CREATE ROLE gate_admin LOGIN PASSWORD :'gate_admin_password';
CREATE ROLE gate_reader NOLOGIN;
CREATE ROLE gate_appender NOLOGIN;
CREATE ROLE gate_owner NOLOGIN;
CREATE ROLE gate LOGIN PASSWORD :'gate_password' IN ROLE gate_owner;
CREATE DATABASE gate OWNER gate_admin;

CREATE ROLE marquez LOGIN PASSWORD :'marquez_password';
CREATE DATABASE marquez OWNER marquez;

REVOKE ALL ON DATABASE airflow, gate, marquez FROM PUBLIC;
GRANT CONNECT ON DATABASE gate TO gate;
