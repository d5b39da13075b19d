"""Files that clients upload, and that are made for them, in clear or sealed."""

from server.files.folder import Folder, owned
from server.files.store import FileStore, Incoming, StoredFile, clean_name

__all__ = ["FileStore", "Folder", "Incoming", "StoredFile", "clean_name", "owned"]
