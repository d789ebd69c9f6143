"""What detection costs on this machine, measured side by side with how others do it.

Each level (:mod:`~jetson_detect.benchmark.message_level`, ``preprocess_level``, ``model_level``,
``node_level``, ``start_level``) measures its contestants in turns, A B C A B C …, so that whatever
else the machine does meets all of them, and answers with a
:class:`~jetson_detect.benchmark.report.Section`: rows, and ratios between them.
"""
