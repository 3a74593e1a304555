import io
import logging
import sys

import pytest

from relevox.engines.progress import progress, show_within


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def at_a_terminal(monkeypatch):
    """To be called in the test itself: pytest puts its own stderr there before every test."""
    return lambda: _terminal(monkeypatch)


def _terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "__stderr__", screen)
    monkeypatch.setenv("TERM", "xterm")
    return screen


def test_without_a_terminal_or_for_one_item_there_is_no_bar(at_a_terminal, monkeypatch):
    at_a_terminal()
    with progress("train", 1) as bar:
        assert bar is None
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress("train", 7) as bar:
        assert bar is None and not show_within("epoch 1", 1, 2)


def test_the_present_item_has_a_bar_of_its_own_until_it_is_done(at_a_terminal):
    terminal = at_a_terminal()
    with progress("train", 3) as bar:
        assert show_within("epoch 1", 5, 9)
        assert [task.completed for task in bar.shown.tasks] == [0, 5]
        bar.advance("fold-0")
        assert [task.completed for task in bar.shown.tasks] == [1]
    assert "fold-0" in terminal.getvalue()
    assert not show_within("epoch 1", 6, 9)


def test_messages_stand_above_the_bar_and_go_to_the_terminal_again_afterwards(at_a_terminal):
    terminal = at_a_terminal()
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        with progress("train", 3):
            assert handler.stream is sys.stderr is not terminal
            logging.getLogger("relevox").warning("fold-0 epoch 1/2")
        assert handler.stream is terminal
    finally:
        logging.getLogger().removeHandler(handler)
    assert "fold-0 epoch 1/2" in terminal.getvalue()
