"""The Noren family: brokers whose stream speaks Noren's JSON, each a `codec.Profile`."""
