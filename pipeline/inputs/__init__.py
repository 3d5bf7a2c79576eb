"""Where inputs come from: paths, hub:NAME and wheel:NAME become files on this machine.

recipe_inputs   everything that a recipe names
licences        what beside the files says under which licence they are
resolver        from the recipe's text for an input to files
hub             the Hugging Face hub: fetch and publish
wheels          wheels of the package index as data files
"""
