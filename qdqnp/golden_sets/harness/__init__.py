"""The harness: a C project that runs the whole network on a library of kernels, layer by layer, and checks each.

Which kernel stands for which operator is the table of calls.py; a row is a function of sums.py, codes.py, pools.py or
moves.py. layer.py is what they write on, buffers.py finds a place for each tensor, writer.py makes the project of it.
"""
