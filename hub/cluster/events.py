class Publisher:
    def __init__(self, *a):
        pass

    def offer(self, *a):
        pass

    async def run(self):
        pass

    def figures(self):
        return {}


class Follower(Publisher):
    pass
