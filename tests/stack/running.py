"""The stack as a whole: one server, templates of databases, and projects made from them."""

import os
import shutil
import tempfile
from pathlib import Path

from wa_webhooks.stores.sqlfiles import migrations

from .cluster import Cluster
from .parts import find_all
from .project import Project

BARE, LEGACY, READY = "bare", "legacy", "ready"
"""Templates: a new project; one from before 2026-10-30; and a new one with our schema."""


class Stack:
    """Starts with its first use of a server; `close` ends all of it."""

    def __init__(self):
        self.parts = find_all()
        self._postgrest = self.parts.postgrest
        self._folder = Path(tempfile.mkdtemp(prefix="wa-hooks-stack-"))
        self._folder.chmod(0o755)
        server = self._folder / "postgres"
        server.mkdir()
        self._opened = []
        self._made = 0
        try:
            self.cluster = Cluster(self.parts.postgres, server)
            self.cluster.run_file("roles.sql")
            self._make_templates()
        except BaseException:
            self.close()
            raise

    def _make_templates(self):
        self.cluster.create_database(LEGACY)
        self.cluster.run_file("project.sql", LEGACY)
        self.cluster.create_database(BARE, LEGACY)
        self.cluster.run_file("since_2026_10_30.sql", BARE)
        self.cluster.create_database(READY, BARE)
        for migration in migrations("postgres"):
            self.cluster.run(migration.sql, READY, user="postgres")

    def database(self, template=READY):
        """Make a database of its own; return its name."""
        self._made += 1
        name = f"project_{self._made}"
        self.cluster.create_database(name, template)
        return name

    def project(self, template=READY):
        """Start a project of its own: a database, PostgREST and a gateway."""
        folder = self._folder / f"project-{self._made + 1}"
        folder.mkdir()
        project = Project(self.cluster, self.database(template), self._postgrest, folder)
        self._opened.append(project)
        return project

    def end(self, project):
        """End a project that is needed no more."""
        self._opened.remove(project)
        project.close()
        self.cluster.drop_database(project.database)

    def close(self):
        for project in self._opened:
            project.close()
        if cluster := getattr(self, "cluster", None):
            cluster.stop()
        if not os.environ.get("WA_HOOKS_TEST_KEEP_STACK"):
            shutil.rmtree(self._folder, ignore_errors=True)
