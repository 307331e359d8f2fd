def smaller(data, width):
    return data[: int(width)]
