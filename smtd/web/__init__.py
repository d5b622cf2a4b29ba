"""Pages for people: what the daemon and the server show in a browser.

The parts here know neither of the two: templates, the style sheet and the script, forms, sessions, charts.
Reading works without JavaScript, every form too. Nothing is loaded from another host. What a record says is
shown as text, never as markup.
"""
