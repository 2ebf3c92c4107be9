"""What verbs and loads share: values and requests as messages, and many keys in few calls."""
