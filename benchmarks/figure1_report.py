def to_markdown(results):
    return ""


def draw(results, out):
    pass
