"""Kept connected; takes `force`."""

from broker.market import CoolingAdapter
from mischief import note


class ShoonyaWebSocketAdapter(CoolingAdapter):
    def initialize(self, broker_name, user_id, auth_data=None, force=False):
        note("force", user=user_id, force=force)
        return super().initialize(broker_name, user_id)
