"""A mixed table of characters: does a model of pictures and texts fill the other columns better?"""
