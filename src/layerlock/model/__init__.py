"""The words of the project as frozen records; nothing here reaches the world."""
