"""The main job, told once on real data: train → register → blocked → signed → promoted → pulled → scored → watched.

Nothing here is special to the demo but its people and its data: every step calls the same actions, pages and processes that
anybody else's work goes through.
"""
