"""Throwaway brokers: nodes of their own, with ports, cookie and data of their own, that leave nothing behind.

A broker that stays on a machine is a plan, and belongs to the stages.
"""
