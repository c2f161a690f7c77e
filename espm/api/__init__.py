"""The HTTP boundary: parse, call one use case, render; nothing in here decides anything."""
