{{ stage('reference', 'negative_list') }}
