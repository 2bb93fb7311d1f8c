"""Routing policies for flashcore, beyond those that it brings along."""
