"""What other Python programs use:

`watch` a source, score one's own frames. `import facewitness` names it all.
"""
