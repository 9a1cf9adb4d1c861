"""A small Hub on this machine: the few calls of its API that fetching a repository takes."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40
ERRORS = {"absent": (404, "RepoNotFound"), "gated": (403, "GatedRepo"), "broken": (500, "")}


@contextmanager
def serve(
    repositories: Mapping[str, Mapping[str, bytes]], revision: str = "main"
) -> Iterator[tuple[str, list[str]]]:
    """Serve files by repository and name. Yields the address and a list that fills with what is
    downloaded.

    Repositories called "owner/absent", "owner/gated" and "owner/broken" answer accordingly.
    """
    downloads: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            parts = [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]
            if parts[:2] == ["api", "models"]:
                repository, action = "/".join(parts[2:4]), parts[4:] or ["revision", revision]
            else:
                repository, action = "/".join(parts[:2]), parts[2:]
            owner_name = repository.split("/")[1]
            if owner_name in ERRORS:
                status, code = ERRORS[owner_name]
                self.answer(status, b"{}", X_Error_Code=code)
                return
            files = repositories[repository]
            if action[1] not in (revision, COMMIT):
                self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
            elif action[0] == "revision":
                self.json(
                    {
                        "id": repository,
                        "sha": COMMIT,
                        "siblings": [{"rfilename": name} for name in files],
                    }
                )
            elif action[0] == "tree":
                self.json([entry(name, files[name]) for name in files])
            elif (name := "/".join(action[2:])) in files:
                if self.command == "GET":
                    downloads.append(name)
                etag = f'"{digest(files[name])}"'
                self.answer(
                    200,
                    files[name],
                    ETag=etag,
                    X_Repo_Commit=COMMIT,
                    Content_Type="application/octet-stream",
                )
            else:
                self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)

        def json(self, content: object) -> None:
            self.answer(200, json.dumps(content).encode(), Content_Type="application/json")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", downloads
    server.shutdown()
    server.server_close()
    thread.join()


def digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def entry(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "oid": digest(content), "size": len(content), "path": name}
